from __future__ import annotations

from docsim.rendering import pages, plots


def test_what_is_told_is_text_and_no_markup() -> None:
    page = pages.page("a <b>", pages.table(("<i>",), [("x & y", 3)]) + pages.facts({"<u>": "</table>"}))
    assert "<title>a &lt;b&gt;</title>" in page
    assert "<tr><th>&lt;i&gt;</th></tr><tr><td>x &amp; y</td><td>3</td></tr>" in page
    assert "<tr><th>&lt;u&gt;</th><td>&lt;/table&gt;</td></tr>" in page


def test_a_figure_is_drawn_as_a_png_in_the_page() -> None:
    figure, axes = plots.axes_of(2)
    assert len(axes) == 2
    content = plots.png(figure)
    assert content.startswith(b"\x89PNG")
    assert 'src="data:image/png;base64,iVBORw0KGgo' in pages.picture(content, "two")


def test_letters_that_the_font_lacks_are_drawn_without_a_warning() -> None:
    figure, (axis,) = plots.axes_of()
    axis.set_title("\u65e5\u672c\u8a9e")
    assert plots.png(figure).startswith(b"\x89PNG")
