"""Panels on a page."""

import numpy as np

from clit_plugin.utils.panels import Panel, compose


def test_panels_are_magnified_by_pixel_repetition_and_not_cropped():
    panel = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    page = compose([[Panel(panel, "a", zoom=3), Panel(panel, "a much longer caption")]], "footer")
    np.testing.assert_array_equal(page[8:14, 8:14], panel.repeat(3, 0).repeat(3, 1))
    assert (page[:8] == 255).all() and (page[:, -2:] == 255).all()
