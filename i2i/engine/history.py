"""The history of fakes (Shrivastava et al. 2017, section 2.3): a discriminator that meets old fakes forgets less."""

import torch
from torch import Tensor, nn


class History(nn.Module):
    """Holds up to `capacity` past fakes; it belongs to the model, so its content is saved and resumed with it."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.past: list[Tensor] = []

    def mix(self, fakes: Tensor) -> Tensor:
        """n c h w → n c h w, detached. CycleGAN's rule (Zhu et al. 2017, section 4): until full, store each fake and
        return it; then with probability 1/2 return a random old one in its place, whose slot the new one takes."""
        if self.capacity == 0:
            return fakes.detach()
        mixed = []
        for fake in fakes.detach():
            if len(self.past) < self.capacity:
                self.past.append(fake.clone())
                mixed.append(fake)
            elif torch.rand(()) < 0.5:
                slot = int(torch.randint(self.capacity, ()))
                mixed.append(self.past[slot])
                self.past[slot] = fake.clone()
            else:
                mixed.append(fake)
        return torch.stack(mixed)

    def half(self, fakes: Tensor) -> Tensor:  # type: ignore[override]  # a module's half() casts to float16
        """SimGAN's rule: the second half of the batch comes from the past, then new fakes overwrite random slots.

        While the past is smaller than half a batch the batch stays as it is."""
        if self.capacity == 0:
            return fakes.detach()
        fakes, half = fakes.detach(), len(fakes) // 2
        mixed = fakes
        if len(self.past) >= half > 0:
            chosen = torch.randperm(len(self.past))[:half].tolist()
            mixed = torch.cat([fakes[: len(fakes) - half], torch.stack([self.past[i] for i in chosen])])
        for fake in fakes[torch.randperm(len(fakes))[:half].to(fakes.device)]:
            if len(self.past) < self.capacity:
                self.past.append(fake.clone())
            else:
                self.past[int(torch.randint(self.capacity, ()))] = fake.clone()
        return mixed

    def get_extra_state(self) -> list[Tensor]:
        return self.past

    def set_extra_state(self, state: list[Tensor]) -> None:
        self.past = list(state)
