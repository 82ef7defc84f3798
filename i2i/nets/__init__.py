"""Networks: pure modules of plain arguments, no loss, no optimiser; beside each, the spec that builds it from a recipe.

Every generator has `.inputs`, `.outputs`, `.multiple` (h and w must be multiples of it) and `.minimum`, takes and
returns values in [-1, 1]. Discriminators return logits, those of several scales a list of them. Nets from noise have
`.channels`, `.size` and `.classes`.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from i2i.nets.cartoon import (
    CartoonDiscriminator,
    CartoonDiscriminatorSpec,
    CartoonGenerator,
    CartoonGeneratorSpec,
)
from i2i.nets.classifier import Classifier, ClassifierSpec, ConvClassifierSpec, MLPClassifierSpec
from i2i.nets.coarse_to_fine import CoarseToFine, CoarseToFineSpec
from i2i.nets.coder import Coder, Decoder, DecoderSpec, Encoder, EncoderSpec
from i2i.nets.compact import Compact, CompactSpec
from i2i.nets.dcgan import DCGANDiscriminator, DCGANDiscriminatorSpec, DCGANGenerator, DCGANGeneratorSpec
from i2i.nets.init import initialise
from i2i.nets.minibatch import MinibatchDiscrimination
from i2i.nets.mlp import MLP, MLPDiscriminator, MLPDiscriminatorSpec, MLPGenerator, MLPGeneratorSpec
from i2i.nets.multiscale import MultiScale, MultiScaleSpec
from i2i.nets.patchgan import PatchGAN, PatchGANSpec, receptive_field
from i2i.nets.projection import Projection, ProjectionSpec
from i2i.nets.refiner import LocalDiscriminator, LocalDiscriminatorSpec, Refiner, RefinerSpec
from i2i.nets.resnet import Resnet, ResnetSpec
from i2i.nets.unet import UNet, UNetSpec
from i2i.nets.unit import UNITSpec
from i2i.nets.virtual import Virtual, VirtualBatchNorm, with_virtual_norms


def _patch_unless_told(value: Any) -> Any:
    """Recipes older than the second kind of discriminator name none."""
    return {"kind": "patch", **value} if isinstance(value, dict) else value


# picture → picture: build(inputs, outputs), and its judge: build(inputs)
Generator = Annotated[
    UNetSpec | ResnetSpec | CompactSpec | CartoonGeneratorSpec | RefinerSpec, Field(discriminator="kind")
]
Discriminator = Annotated[
    PatchGANSpec | MultiScaleSpec | CartoonDiscriminatorSpec | LocalDiscriminatorSpec,
    Field(discriminator="kind"),
    BeforeValidator(_patch_unless_told),
]

__all__ = [
    "MLP",
    "CartoonDiscriminator",
    "CartoonDiscriminatorSpec",
    "CartoonGenerator",
    "CartoonGeneratorSpec",
    "Classifier",
    "ClassifierSpec",
    "CoarseToFine",
    "CoarseToFineSpec",
    "Coder",
    "Compact",
    "CompactSpec",
    "ConvClassifierSpec",
    "DCGANDiscriminator",
    "DCGANDiscriminatorSpec",
    "DCGANGenerator",
    "DCGANGeneratorSpec",
    "Decoder",
    "DecoderSpec",
    "Discriminator",
    "Encoder",
    "EncoderSpec",
    "Generator",
    "LocalDiscriminator",
    "LocalDiscriminatorSpec",
    "MLPClassifierSpec",
    "MLPDiscriminator",
    "MLPDiscriminatorSpec",
    "MLPGenerator",
    "MLPGeneratorSpec",
    "MinibatchDiscrimination",
    "MultiScale",
    "MultiScaleSpec",
    "PatchGAN",
    "PatchGANSpec",
    "Projection",
    "ProjectionSpec",
    "Refiner",
    "RefinerSpec",
    "Resnet",
    "ResnetSpec",
    "UNITSpec",
    "UNet",
    "UNetSpec",
    "Virtual",
    "VirtualBatchNorm",
    "initialise",
    "receptive_field",
    "with_virtual_norms",
]
