"""fastdl against PyTorch, measured in turn on the same cores, and against the limits of the machine.

    python -m bench kernels     every workload of workloads.py that is one kernel      (fastdl bench kernels)
    python -m bench models      whole training steps, small enough for overhead to count
    python -m bench zoo         published image networks, training step and inference
    python -m bench sequences   language models, translators, BERT, GPT-2, decoding
    python -m bench generative  VAE to Progressive GAN, training steps
    python -m bench rivals      image networks at batch 1 beside ONNX Runtime and OpenVINO, where they are installed
    python -m bench roofline    FMA peak and memory bandwidth

workloads.py   what is measured: one function a workload, the same code for both libraries
zoo.py sequences.py generative.py (twins.py: torch's side of it)     the networks
sides.py       the two libraries behind one small interface
worker.py      the process of one side: builds a workload, times turns, saves results for the comparison
pair.py        the protocol: two pinned processes, ABBA turns, medians, a bootstrap interval of the ratio
roofline.py    what the machine can do at most
report.py      benchmarks.json and the table benchmarks.md
"""
