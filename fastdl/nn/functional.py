"""F.conv2d, F.relu, F.cross_entropy, ...: the functions of fastdl.ops under torch.nn.functional's names; no code."""
