"""The three models' input schemas, copied from the vendor's pages by hand, without their titles."""

from __future__ import annotations

from typing import Any

T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"
VIDEO = "bytedance/dreamina-3-0/pro/image-to-video"

PROMPT = {"type": "string", "maxLength": 800}
PICTURE_KEYS = {
    "width\N{MULTIPLICATION SIGN}height": {
        "type": "string",
        "enum": [
            "1024x1024(1:1)",
            "2048x2048(1:1)",
            "2304x1728(4:3)",
            "2496x1664(3:2)",
            "2560x1440(16:9)",
            "3024x1296(21:9)",
            "4096x4096(1:1)",
            "4694x3520(4:3)",
            "4992x3328(3:2)",
            "5404x3040(16:9)",
            "6198x2656(21:9)",
        ],
        "default": "2048x2048(1:1)",
    },
    "scale": {"type": "float", "minimum": 0, "maximum": 1, "default": 0.5},
    "force_single": {"type": "boolean", "default": False},
}


def pictures(most: int) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "string", "format": "image_uri"},
        "maxItems": most,
        "minItems": 1,
    }


SCHEMAS: dict[str, dict[str, Any]] = {
    T2I: {
        "type": "object",
        "required": ["prompt"],
        "properties": {"prompt": PROMPT, **PICTURE_KEYS},
    },
    EDIT: {
        "type": "object",
        "required": ["image_urls", "prompt"],
        "properties": {"image_urls": pictures(10), "prompt": PROMPT, **PICTURE_KEYS},
    },
    VIDEO: {
        "type": "object",
        "required": ["prompt", "image_urls"],
        "properties": {
            "prompt": PROMPT,
            "image_urls": pictures(1),
            "seed": {"type": "integer", "default": -1},
            "frames": {"type": "integer", "enum": [121, 241], "default": 121},
        },
    },
}
