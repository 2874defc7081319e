"""Canvases become Markdown."""

from hypothesis import given
from hypothesis import strategies as st

from bot.listeners.canvas import canvas_markdown


def test_a_canvas_keeps_its_form() -> None:
    markup = """
      <div class="quip-canvas-content"><h2>To do</h2>
      <ul><li class="checked">first</li><li>second<ul><li>below</li></ul></li></ul>
      <ol><li>one</li><li>two</li></ol>
      <table><tr><td><p class="line">a</p></td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>
      <p>x &lt; <i>y</i> <code>z</code><br>next</p><pre>a
  b</pre><blockquote>said</blockquote><hr><script>alert(1)</script><style>p {}</style><img alt=":smile:"></div>
    """
    assert canvas_markdown(markup) == (
        "## To do\n\n- [x] first\n- second\n  - below\n\n1. one\n2. two\n\n"
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n\nx < *y* `z`\nnext\n\n```\na\n  b\n```\n\n> said\n\n---\n:smile:\n"
    )


@given(st.text(alphabet="<>/ulipretabdsc h1=\"'&;!-x\n", max_size=300))
def test_no_markup_makes_a_canvas_fail(markup: str) -> None:
    assert canvas_markdown(markup).endswith("\n")


def test_lists_without_end_stay_small() -> None:
    assert len(canvas_markdown("<ul><li>x" * 20_000)) < 1_000_000
