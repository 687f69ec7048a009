"""Models: one file per paper."""

from fastdl.models.bert import (
    Bert,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    bert_base,
    bert_large,
)
from fastdl.models.gpt import GPT, GPTConfig, gpt2, gpt2_large, gpt2_medium, gpt2_xl, gpt3
from fastdl.models.lenet import LeNet5, lenet5
from fastdl.models.linear import LinearRegression, SoftmaxRegression
from fastdl.models.mlp import MLP, mlp
from fastdl.models.transformer import Transformer, TransformerConfig, transformer_base, transformer_big

__all__ = [
    "GPT",
    "MLP",
    "Bert",
    "BertConfig",
    "BertForMaskedLM",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "GPTConfig",
    "LeNet5",
    "LinearRegression",
    "SoftmaxRegression",
    "Transformer",
    "TransformerConfig",
    "bert_base",
    "bert_large",
    "gpt2",
    "gpt2_large",
    "gpt2_medium",
    "gpt2_xl",
    "gpt3",
    "lenet5",
    "mlp",
    "transformer_base",
    "transformer_big",
]
