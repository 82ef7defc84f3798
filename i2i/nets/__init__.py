"""Networks: pure modules of plain arguments, no loss, no optimiser; beside each, the spec that builds it from a recipe.

Every generator has `.inputs`, `.outputs`, `.multiple` (h and w must be multiples of it) and `.minimum`, takes and
returns values in [-1, 1]. Discriminators return logits. Nets from noise have `.channels`, `.size` and `.classes`.
"""

from typing import Annotated

from pydantic import Field

from i2i.nets.compact import Compact, CompactSpec
from i2i.nets.dcgan import DCGANDiscriminator, DCGANDiscriminatorSpec, DCGANGenerator, DCGANGeneratorSpec
from i2i.nets.init import initialise
from i2i.nets.mlp import MLP, MLPDiscriminator, MLPDiscriminatorSpec, MLPGenerator, MLPGeneratorSpec
from i2i.nets.patchgan import PatchGAN, PatchGANSpec, receptive_field
from i2i.nets.resnet import Resnet, ResnetSpec
from i2i.nets.unet import UNet, UNetSpec

# picture → picture: build(inputs, outputs), and its judge: build(inputs)
Generator = Annotated[UNetSpec | ResnetSpec | CompactSpec, Field(discriminator="kind")]
Discriminator = PatchGANSpec

__all__ = [
    "MLP",
    "Compact",
    "CompactSpec",
    "DCGANDiscriminator",
    "DCGANDiscriminatorSpec",
    "DCGANGenerator",
    "DCGANGeneratorSpec",
    "Discriminator",
    "Generator",
    "MLPDiscriminator",
    "MLPDiscriminatorSpec",
    "MLPGenerator",
    "MLPGeneratorSpec",
    "PatchGAN",
    "PatchGANSpec",
    "Resnet",
    "ResnetSpec",
    "UNet",
    "UNetSpec",
    "initialise",
    "receptive_field",
]
