import pytest
import torch
import torch.nn.functional as F

from chromogen.losses import wasserstein


def images(n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, 4, 5, generator=generator), torch.randn(n, 3, 4, 5, generator=generator)


def test_players_pull_in_opposite_directions() -> None:
    on_real, on_fake = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 5.5])
    assert float(wasserstein.critic(on_real, on_fake)) == pytest.approx(3.0 - 1.5)
    assert float(wasserstein.generator(on_fake)) == pytest.approx(-3.0)
    assert wasserstein.generator(on_fake.bfloat16()).dtype == torch.float32


def test_penalty_of_a_linear_score_is_known() -> None:
    """score(x) = a.x has the gradient a everywhere: (|a| - 1)^2, 9 where |a| is 4 and 0 where it is 1."""
    real, fake = images()
    a = torch.randn(3, 4, 5)
    for length, penalty in ((4.0, 9.0), (1.0, 0.0)):
        slope = a * length / a.norm()
        found = wasserstein.gradient_penalty(lambda x, slope=slope: (x * slope).sum((1, 2, 3)), real, fake)
        assert float(found.detach()) == pytest.approx(penalty, abs=1e-5)


def test_penalty_of_a_square_score_is_taken_between_real_and_fake_for_each_sample() -> None:
    """score(x) = |x|^2/2 has the gradient x: (|x| - 1)^2 at the drawn points, by hand with the same draws."""
    real, fake = images()
    torch.manual_seed(7)
    found = wasserstein.gradient_penalty(lambda x: x.square().sum((1, 2, 3)) / 2, real, fake)
    torch.manual_seed(7)
    share = torch.rand(3, 1, 1, 1)
    assert len(share.unique()) == 3
    points = (1 - share) * real + share * fake
    wanted = sum((float(point.norm()) - 1) ** 2 for point in points) / 3
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-5)


def test_penalty_moves_the_score_as_finite_differences_say() -> None:
    """d/dw of (w |a| - 1)^2 for score w a.x is 2 |a| (w |a| - 1); real and fake get nothing."""
    real, fake = (x.requires_grad_(True) for x in images())
    a, w = torch.full((3, 4, 5), 0.1), torch.tensor(2.0, requires_grad=True)
    wasserstein.gradient_penalty(lambda x: w * (x * a).sum((1, 2, 3)), real, fake).backward()
    length = float(a.norm())
    assert w.grad is not None and float(w.grad) == pytest.approx(2 * length * (2 * length - 1), rel=1e-5)
    assert real.grad is None and fake.grad is None


def test_penalty_is_float32_in_autocast_and_finite_where_the_gradient_is_nil() -> None:
    real, fake = images()
    weight = torch.randn(2, 3, 3, 3, requires_grad=True)

    def score(x: torch.Tensor) -> torch.Tensor:
        made = F.conv2d(x, weight)
        assert made.dtype == torch.float32
        return made.square().sum((1, 2, 3))

    results = []
    for bf16 in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            results.append(wasserstein.gradient_penalty(score, real, fake))
    assert torch.equal(*results)
    flat = torch.zeros(1, requires_grad=True)
    nil = wasserstein.gradient_penalty(lambda x: flat * x.sum((1, 2, 3)), real, fake)
    nil.backward()
    assert float(nil.detach()) == 1 and flat.grad is not None and bool(torch.isfinite(flat.grad).all())
