"""What a model is called, makes and costs here.

The vendor publishes no prices with the schemas: these are rehearsal prices, invented so that
budgets can be tried. They say nothing about a real bill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Makes: TypeAlias = Literal["png", "jpg", "mp4"]

FRAMES_PER_SECOND = 24
DEFAULT_FRAMES = 121


@dataclass(frozen=True, slots=True)
class Offer:
    """`usd` for each `unit`; `latency` in seconds; `makes` is the extension of the files."""

    display_name: str
    description: str
    categories: tuple[str, ...]
    makes: Makes
    usd: float
    unit: Literal["output", "second"]
    latency: float


TEXT_TO_IMAGE = Offer(
    "Dreamina 4.0 Text to Image",
    "Pictures from a prompt.",
    ("text-to-image",),
    "png",
    usd=0.03,
    unit="output",
    latency=1.0,
)
EDIT = Offer(
    "Dreamina 4.0 Edit",
    "Pictures from a prompt and one to ten pictures.",
    ("image-to-image", "image-edit"),
    "jpg",
    usd=0.03,
    unit="output",
    latency=1.0,
)
IMAGE_TO_VIDEO = Offer(
    "Dreamina 3.0 Pro Image to Video",
    "A clip from a prompt and its first picture.",
    ("image-to-video",),
    "mp4",
    usd=0.08,
    unit="second",
    latency=2.0,
)

OFFERS = {
    "bytedance/dreamina-4-0/text-to-image": TEXT_TO_IMAGE,
    "bytedance/dreamina-4-0/edit": EDIT,
    "bytedance/dreamina-3-0/pro/image-to-video": IMAGE_TO_VIDEO,
}


def offer_of(model_id: str) -> Offer:
    """Rehearse a model that is new to the table like the one whose name is most alike."""
    if model_id in OFFERS:
        return OFFERS[model_id]
    return IMAGE_TO_VIDEO if model_id.endswith("video") else TEXT_TO_IMAGE


def frames_of(job_input: Mapping[str, Any]) -> int:
    return int(job_input.get("frames", DEFAULT_FRAMES))


def outputs_of(job_input: Mapping[str, Any], offer: Offer, images_per_request: int) -> int:
    """How many files a request makes."""
    single = offer.makes == "mp4" or job_input.get("force_single") is True
    return 1 if single else images_per_request


def price_of(job_input: Mapping[str, Any], offer: Offer, outputs: int) -> float:
    """USD. A video is billed in whole seconds: 121 frames are 5, 241 are 10."""
    seconds = round(frames_of(job_input) / FRAMES_PER_SECOND) if offer.unit == "second" else 1
    return round(offer.usd * outputs * seconds, 4)
