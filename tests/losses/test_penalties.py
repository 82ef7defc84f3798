import pytest
import torch
from torch import nn

from i2i.losses import gradient_penalty, r1


def linear(slope: list[float]) -> nn.Linear:
    critic = nn.Linear(len(slope), 1)
    critic.weight.data = torch.tensor([slope])
    return critic


def test_the_penalty_of_a_linear_critic_depends_on_its_slope_alone():
    critic = linear([3.0, 4.0])  # slope 5
    real, fake = torch.randn(2, 8, 2)
    assert gradient_penalty(critic, real, fake).item() == pytest.approx((5 - 1) ** 2)
    assert r1(critic, real).item() == pytest.approx(5**2 / 2)


def test_a_critic_flatter_than_1_is_penalised_too():
    assert gradient_penalty(linear([0.6, 0.0]), *torch.randn(2, 8, 2)).item() == pytest.approx(0.4**2)


def test_a_critic_of_slope_1_is_free():
    assert gradient_penalty(linear([0.6, 0.8]), *torch.randn(2, 8, 2)).item() == pytest.approx(0, abs=1e-10)


def test_r1_of_a_quadratic_critic_is_half_the_mean_squared_distance():
    real = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert r1(lambda x: x.square().sum(dim=1) / 2, real).item() == pytest.approx((5 + 9) / 2 / 2)


@pytest.mark.parametrize("shape", [(4, 2), (4, 3, 5, 5)])
def test_points_lie_between_real_and_fake_with_one_epsilon_a_sample(shape):
    seen = []

    def critic(x):
        seen.append(x)
        return x.flatten(1).sum(dim=1)

    real, fake = torch.ones(shape), torch.zeros(shape)
    gradient_penalty(critic, real, fake)
    epsilon = seen[0].detach().flatten(1)
    assert torch.equal(epsilon, epsilon[:, :1].expand_as(epsilon))
    assert len(epsilon[:, 0].unique()) == 4
    assert ((epsilon >= 0) & (epsilon < 1)).all()


def test_a_generator_makes_the_points_repeatable():
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    real, fake = torch.randn(2, 8, 2)
    first, again, other = (
        gradient_penalty(critic, real, fake, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_gradients_reach_the_critic_with_the_known_value_and_neither_input():
    critic = linear([3.0, 4.0])
    real, fake = torch.randn(2, 8, 2).requires_grad_().unbind()
    gradient_penalty(critic, real, fake).backward()
    torch.testing.assert_close(critic.weight.grad, 2 * (5 - 1) * torch.tensor([[0.6, 0.8]]))
    critic.zero_grad()
    r1(critic, real).backward()
    torch.testing.assert_close(critic.weight.grad, torch.tensor([[3.0, 4.0]]))
    leaf = torch.randn(8, 2, requires_grad=True)
    (gradient_penalty(critic, leaf, 2 * leaf) + r1(critic, leaf)).backward()
    assert leaf.grad is None
    assert leaf.requires_grad


def test_a_map_counts_by_its_mean_and_scales_by_their_sum_as_in_the_adversarial_rules():
    real, fake = torch.randn(2, 8, 2)
    critic = linear([3.0, 4.0])
    as_map = lambda x: critic(x)[:, :, None, None].expand(-1, 1, 6, 6)  # noqa: E731
    two_scales = lambda x: [critic(x), as_map(x)]  # noqa: E731
    assert gradient_penalty(as_map, real, fake).item() == pytest.approx((5 - 1) ** 2)
    assert gradient_penalty(two_scales, real, fake).item() == pytest.approx((10 - 1) ** 2, rel=1e-5)
    assert r1(two_scales, real).item() == pytest.approx(10**2 / 2, rel=1e-5)


def test_a_flat_critic_has_a_finite_gradient():
    critic = linear([0.0, 0.0])
    penalty = gradient_penalty(critic, *torch.randn(2, 8, 2))
    penalty.backward()
    assert penalty.item() == 1
    assert critic.weight.grad.isfinite().all()


def test_half_precision_samples_are_penalised_in_float32():
    critic = linear([3.0, 4.0])
    real, fake = torch.randn(2, 8, 2).bfloat16()
    assert gradient_penalty(critic, real, fake).dtype == torch.float32


def test_real_and_fake_of_different_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"expected fake of shape \(8, 2\); got \(1, 2\)"):
        gradient_penalty(linear([1.0, 0.0]), torch.zeros(8, 2), torch.zeros(1, 2))
