"""Distillation: a trained translator teaches a compact one, which goes where the teacher is too heavy.

Li et al. 2020, GAN Compression (arXiv 2003.08936), section 3.1: what a trained generator answers is pseudo ground
truth. So there is one way to learn from any teacher, also from one that learnt without pairs, and it is Pix2Pix:

    L = L_cGAN(G', D) + λ E|G'(x) - G(x)|₁        G the teacher, G' the student

The teacher answers the very windows that its student is shown, cropped, mirrored and augmented as in its own training
(Beyer et al. 2022, arXiv 2106.05237: a consistent teacher), not whole pictures that are cropped later: its norms see
the whole picture and its borders, so a window of an answer is not the answer to the window. The answers are written
once, as a paired data set in the run's folder. What trains on it is the ordinary machinery, which resumes bit for bit.
Shapes: n pictures, c channels, h w size; pictures are in [-1, 1].
"""

from i2i.distil.answers import LESSONS, WINDOWS
from i2i.distil.comparing import TOLD
from i2i.distil.running import Distilled, distil

__all__ = ["LESSONS", "TOLD", "WINDOWS", "Distilled", "distil"]
