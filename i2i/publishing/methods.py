"""The papers behind the models, as a card tells and cites them."""

from dataclasses import dataclass
from typing import Any

from i2i.engine.settings import Settings


@dataclass(frozen=True)
class Paper:
    """`title` and so on are plain text; `arxiv` is a number such as 1611.07004, or where else the paper is found."""

    key: str
    title: str
    authors: str  # as BibTeX has them
    year: int
    arxiv: str

    @property
    def link(self) -> str:
        first = self.authors.split(" and ")
        names = f"{first[0].split(',')[0]} et al." if len(first) > 2 else " & ".join(n.split(",")[0] for n in first)
        return f"[{names} {self.year}]({self.address})"

    @property
    def address(self) -> str:
        return self.arxiv if self.arxiv.startswith("https:") else f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def bibtex(self) -> str:
        elsewhere = self.arxiv.startswith("https:")
        where = f"url = {{{self.arxiv}}}" if elsewhere else f"journal = {{arXiv preprint arXiv:{self.arxiv}}}"
        return (
            f"@article{{{self.key},\n  title = {{{self.title}}},\n  author = {{{self.authors}}},\n"
            f"  {where},\n  year = {{{self.year}}}\n}}"
        )


PIX2PIX = Paper(
    "isola2017pix2pix",
    "Image-to-Image Translation with Conditional Adversarial Networks",
    "Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A.",
    2017,
    "1611.07004",
)
CYCLEGAN = Paper(
    "zhu2017cyclegan",
    "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
    "Zhu, Jun-Yan and Park, Taesung and Isola, Phillip and Efros, Alexei A.",
    2017,
    "1703.10593",
)
DCGAN = Paper(
    "radford2015dcgan",
    "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
    "Radford, Alec and Metz, Luke and Chintala, Soumith",
    2015,
    "1511.06434",
)
GAN = Paper(
    "goodfellow2014gan",
    "Generative Adversarial Networks",
    "Goodfellow, Ian J. and Pouget-Abadie, Jean and Mirza, Mehdi and Xu, Bing and Warde-Farley, David and "
    "Ozair, Sherjil and Courville, Aaron and Bengio, Yoshua",
    2014,
    "1406.2661",
)
DIFFAUGMENT = Paper(
    "zhao2020diffaugment",
    "Differentiable Augmentation for Data-Efficient GAN Training",
    "Zhao, Shengyu and Liu, Zhijian and Lin, Ji and Zhu, Jun-Yan and Han, Song",
    2020,
    "2006.10738",
)
IMPROVED = Paper(
    "salimans2016improved",
    "Improved Techniques for Training GANs",
    "Salimans, Tim and Goodfellow, Ian and Zaremba, Wojciech and Cheung, Vicki and Radford, Alec and Chen, Xi",
    2016,
    "1606.03498",
)
CUT = Paper(
    "park2020cut",
    "Contrastive Learning for Unpaired Image-to-Image Translation",
    "Park, Taesung and Efros, Alexei A. and Zhang, Richard and Zhu, Jun-Yan",
    2020,
    "2007.15651",
)
UNIT = Paper(
    "liu2017unit",
    "Unsupervised Image-to-Image Translation Networks",
    "Liu, Ming-Yu and Breuel, Thomas and Kautz, Jan",
    2017,
    "1703.00848",
)
DTN = Paper(
    "taigman2016dtn",
    "Unsupervised Cross-Domain Image Generation",
    "Taigman, Yaniv and Polyak, Adam and Wolf, Lior",
    2016,
    "1611.02200",
)
SIMGAN = Paper(
    "shrivastava2017simgan",
    "Learning from Simulated and Unsupervised Images through Adversarial Training",
    "Shrivastava, Ashish and Pfister, Tomas and Tuzel, Oncel and Susskind, Josh and Wang, Wenda and Webb, Russ",
    2017,
    "1612.07828",
)
CARTOONGAN = Paper(
    "chen2018cartoongan",
    "CartoonGAN: Generative Adversarial Networks for Photo Cartoonization",
    "Chen, Yang and Lai, Yu-Kun and Liu, Yong-Jin",
    2018,
    "https://openaccess.thecvf.com/content_cvpr_2018/html/Chen_CartoonGAN_Generative_Adversarial_CVPR_2018_paper.html",
)
PIX2PIXHD = Paper(
    "wang2018pix2pixhd",
    "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs",
    "Wang, Ting-Chun and Liu, Ming-Yu and Zhu, Jun-Yan and Tao, Andrew and Kautz, Jan and Catanzaro, Bryan",
    2018,
    "1711.11585",
)
PAPERS = {
    "pix2pix": PIX2PIX,
    "cyclegan": CYCLEGAN,
    "dcgan": DCGAN,
    "gan": GAN,
    "semigan": IMPROVED,
    "cut": CUT,
    "unit": UNIT,
    "dtn": DTN,
    "simgan": SIMGAN,
    "cartoongan": CARTOONGAN,
    "pix2pixhd": PIX2PIXHD,
}


def papers(settings: Settings) -> list[Paper]:
    """Those that a recipe follows, the model's own first; an imported model's is its network's toolkit."""
    toolkit: Any = getattr(settings, "toolkit", "")
    own = CYCLEGAN if toolkit == "pytorch-CycleGAN-and-pix2pix" else PAPERS.get(settings.model)
    return [paper for paper in (own, DIFFAUGMENT if getattr(settings, "diffaugment", ()) else None) if paper]
