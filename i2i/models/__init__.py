"""One paper a file. A new model is one new file here and one new line below."""

from typing import Any

from i2i.models.cyclegan import CycleGAN
from i2i.models.cyclegan import Recipe as CycleGANRecipe
from i2i.models.dcgan import DCGAN
from i2i.models.dcgan import Recipe as DCGANRecipe
from i2i.models.gan import GAN
from i2i.models.gan import Recipe as GANRecipe
from i2i.models.pix2pix import Pix2Pix
from i2i.models.pix2pix import Recipe as Pix2PixRecipe

MODELS: dict[type, Any] = {
    GANRecipe: GAN,
    DCGANRecipe: DCGAN,
    Pix2PixRecipe: Pix2Pix,
    CycleGANRecipe: CycleGAN,
}
