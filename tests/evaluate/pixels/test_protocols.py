import math
from pathlib import Path

import numpy as np
import pytest

from chromogen.data.images import read_image
from chromogen.evaluate.pixels import likeness
from chromogen.evaluate.pixels.multiscale import ms_ssim
from chromogen.evaluate.pixels.protocols import PROFILES, Profile, measure, measure_each, profile_named, seed000_score
from chromogen.evaluate.pixels.tolerant import flow_tolerant, shift_tolerant
from chromogen.phantom.tissue.phantom import Phantom, draw

TARGET = draw(Phantom(size_px=192), 3, 8).ihc
PREDICTION = np.roll(draw(Phantom(size_px=192), 2, 8).ihc, 2, axis=0)


def test_every_profile_by_the_functions_it_names() -> None:
    psnr = likeness.psnr(PREDICTION, TARGET)
    shifted, laid = shift_tolerant(PREDICTION, TARGET), flow_tolerant(PREDICTION, TARGET)
    expected = {
        "bci2022": {"psnr": psnr, "ssim": likeness.ssim(PREDICTION, TARGET, "uniform7")},
        "gauss11": {"psnr": psnr, "ssim": likeness.ssim(PREDICTION, TARGET, "gauss11")},
        "piqa9": {"psnr": psnr, "ssim": likeness.ssim(PREDICTION, TARGET, "gauss9")},
        "global": {"psnr": psnr, "ssim": likeness.global_ssim(PREDICTION, TARGET)},
        "ms-ssim": {"ssim": ms_ssim(PREDICTION, TARGET)},
        "shift-tolerant": {"psnr": shifted.psnr, "ssim": shifted.ssim},
        "flow-tolerant": {"psnr": laid.psnr, "ssim": laid.ssim},
    }
    found = {name: measure(PREDICTION, TARGET, name) for name in PROFILES}
    assert found == expected
    assert found == {name: measure(PREDICTION, TARGET, profile) for name, profile in PROFILES.items()}
    similarities = sorted(values["ssim"] for values in found.values())
    assert min(np.diff(similarities)) > 1e-4  # no two of them share a column


@pytest.mark.parametrize("profile", PROFILES)
def test_several_predictions_are_measured_as_each_alone(profile: str) -> None:
    flat = np.broadcast_to(TARGET[0, 0], TARGET.shape)
    several = [PREDICTION, flat, TARGET]
    assert measure_each(several, TARGET, profile) == [measure(one, TARGET, profile) for one in several]
    assert measure_each([], TARGET, profile) == []


def test_identical_images_are_perfect_by_every_profile() -> None:
    for name in PROFILES:
        found = measure(TARGET, TARGET, name)
        assert found["ssim"] == pytest.approx(1.0, abs=1e-12)
        assert found.get("psnr", math.inf) == math.inf


def test_every_profile_refuses_bad_images_and_says_what_it_is() -> None:
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert profile.description.startswith("uint8 RGB at the size of the files")
        assert "mean of the images' values" in profile.description
        with pytest.raises(ValueError, match="score images of equal size"):
            measure(TARGET, TARGET[:-1], name)
        with pytest.raises(ValueError, match=r"must be uint8 RGB"):
            measure(TARGET / 255, TARGET, name)
    sides = {name: 6 for name in PROFILES} | {
        "gauss11": 10,
        "piqa9": 8,
        "ms-ssim": 175,
        "shift-tolerant": 22,
        "flow-tolerant": 95,
    }
    for name in PROFILES.keys() - {"global"}:  # a mean and a deviation need no window
        with pytest.raises(ValueError, match=f"at least {sides[name] + 1} px"):
            measure(TARGET[: sides[name]], TARGET[: sides[name]], name)


def test_names() -> None:
    assert [profile_named(name).name for name in PROFILES] == list(PROFILES)
    with pytest.raises(ValueError, match="did you mean 'bci2022'"):
        profile_named("bci2020")
    with pytest.raises(ValueError, match="did you mean 'ms-ssim'"):
        measure(TARGET, TARGET, "msssim")
    assert len({(profile.similarity, profile.tolerance) for profile in PROFILES.values()}) == len(PROFILES)


def test_a_profile_of_ones_own() -> None:
    own = Profile("own", "gauss11", "two windows differ", "none")
    assert measure(PREDICTION, TARGET, own) == measure(PREDICTION, TARGET, "gauss11")


def test_the_weighted_sum_of_values_by_hand() -> None:
    assert seed000_score(22.047, 0.5684) == pytest.approx(9.15984, abs=1e-9)
    assert seed000_score(0, 1) == 0.6
    assert seed000_score(math.inf, 1) == math.inf


def test_documented_gap_between_windows_on_real_images(bci_dev: Path) -> None:
    """PSNR is one number in all profiles that move nothing; SSIM spreads further than first and second place of a challenge."""
    name = "00361_test_2+.png"
    source, target = read_image(bci_dev / "HE" / name), read_image(bci_dev / "IHC" / name)
    found = {name: measure(source, target, name) for name in ("bci2022", "gauss11", "piqa9", "global")}
    assert len({values["psnr"] for values in found.values()}) == 1
    similarities = [values["ssim"] for values in found.values()]
    assert max(similarities) - min(similarities) > 0.015
