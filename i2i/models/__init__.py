"""One paper a file. A new model is one new file and its entry here."""

from typing import Any

from i2i.engine.settings import Settings
from i2i.models import (
    cartoongan,
    cut,
    cyclegan,
    dcgan,
    dtn,
    gan,
    imported,
    pix2pix,
    pix2pixhd,
    semigan,
    simgan,
    unit,
)

MODELS: dict[type[Settings], Any] = {
    gan.Recipe: gan.GAN,
    dcgan.Recipe: dcgan.DCGAN,
    pix2pix.Recipe: pix2pix.Pix2Pix,
    cyclegan.Recipe: cyclegan.CycleGAN,
    cut.Recipe: cut.CUT,
    pix2pixhd.Recipe: pix2pixhd.Pix2PixHD,
    cartoongan.Recipe: cartoongan.CartoonGAN,
    unit.Recipe: unit.UNIT,
    dtn.Recipe: dtn.DTN,
    simgan.Recipe: simgan.SimGAN,
    semigan.Recipe: semigan.SemiGAN,
    imported.Recipe: imported.Imported,
}
