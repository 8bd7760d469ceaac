import pytest
import torch

from chromogen.devices import bf16_is_fast, pick_device


def test_the_cpu_is_always_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["mps", "cud", "cpu:1", "cuda:x", ""])
def test_other_devices_are_named_in_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match="write auto, cpu, cuda"):
        pick_device(name)


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="use cpu or auto"):
        pick_device("cuda:99")


def test_fast_bf16_is_what_the_processor_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for amx, avx, fast in [(True, False, True), (False, True, True), (False, False, False)]:
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda value=amx: value)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda value=avx: value)
        assert bf16_is_fast(torch.device("cpu")) is fast
