"""One paper a file. A new model is one new file and its entry here."""

from typing import Any

from i2i.engine.settings import Settings
from i2i.models import cyclegan, dcgan, gan, imported, pix2pix

MODELS: dict[type[Settings], Any] = {
    gan.Recipe: gan.GAN,
    dcgan.Recipe: dcgan.DCGAN,
    pix2pix.Recipe: pix2pix.Pix2Pix,
    cyclegan.Recipe: cyclegan.CycleGAN,
    imported.Recipe: imported.Imported,
}
