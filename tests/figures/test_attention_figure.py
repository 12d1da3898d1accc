"""The figure of attention maps."""

import io

import torch
from PIL import Image

from clit_plugin.archs.clit_arch import AttentionMaps
from clit_plugin.figures.attention_figure import Query, draw_attention


def drawn(queries, branches, heads=2):
    """The figure of as many branches, on an image of 20 x 30."""
    maps = [
        AttentionMaps(
            torch.rand(1, len(queries), 9, heads).softmax(2), torch.tensor([[[4, 7]] * len(queries)]), (10, 15)
        )
        for _ in range(branches)
    ]
    content = draw_attention(torch.rand(3, 20, 30), queries, maps, (3, 3), scale=3.4, used=1)
    return Image.open(io.BytesIO(content))


def test_there_is_one_row_per_query_and_branch_and_one_column_per_head():
    query = Query("7,4", (4, 7), (4.5, 7.5))
    one, three, wide = drawn([query], 1), drawn([query] * 3, 1), drawn([query], 1, heads=6)
    assert one.width == three.width < wide.width
    assert three.height > 2 * one.height
