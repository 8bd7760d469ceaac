"""Two stacked images with a divider: the only script of the page, and one the page can do without.

In the page the images stand side by side. The script lays the first over the second and adds a range input, which mouse,
finger and arrow keys move; on paper, and where scripts are off, they stay side by side.
"""

from chromogen.report.markup import Content, Html, tag

SCRIPT = Html("""
for (const box of document.querySelectorAll(".swipe:not(.live)")) {
  const range = document.createElement("input"), line = document.createElement("span");
  range.type = "range"; range.autocomplete = "off"; range.value = 50; line.className = "divider";
  range.setAttribute("aria-label", box.dataset.label);
  range.oninput = () => {
    box.style.setProperty("--at", range.value + "%");
    range.setAttribute("aria-valuetext", range.value + " % virtual");
  };
  range.oninput(); box.append(range, line);
  box.classList.add("live"); box.parentElement.classList.add("live");
}
""")


def swiped(name: str, first: Html, second: Html) -> Html:
    """Two figures of equal size that the script makes one; each holds its pictures in a `div` of the class views."""
    return tag("div", first, second, class_="swipe", data_label=f"{name}: share of the width that shows the virtual stain")


def script() -> Content:
    return tag("script", SCRIPT)
