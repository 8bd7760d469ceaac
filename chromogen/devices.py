"""Which device to compute on, and whether bfloat16 is fast there."""

import torch


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA when there, else the CPU. ValueError when the named device is not on this machine."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and (kind == "cpu" or not index.isdigit())):
        raise ValueError(f"no device {name!r}; write auto, cpu, cuda or cuda:0")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        seen = f"{torch.cuda.device_count()} CUDA GPUs" if torch.cuda.device_count() else "no CUDA GPU"
        raise ValueError(f"device {name!r} was asked for, but this PyTorch ({torch.__version__}) sees {seen}; use cpu or auto")
    return torch.device(name)


def bf16_is_fast(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products: AMX or AVX512_BF16 on a CPU, tensor cores on a GPU."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    detectors = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # PyTorch asks the processor, on every system
    return any(getattr(torch.cpu, detector, bool)() for detector in detectors)
