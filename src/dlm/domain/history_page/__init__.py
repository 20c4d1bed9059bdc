"""The history of a document's runs as one HTML page that opens from disk, needs no network and follows light and dark.

`page` puts it together from `facts` (what is said of each run), `panels` (charts over runs), `curves` (losses inside a
run), `table` (every run) and `style` and `script_*` (looks and interaction). Without JavaScript all charts and tables
are there; scripts add hovering, sorting, filtering and the comparison of runs.
"""

from dlm.domain.history_page.page import history_page

__all__ = ["history_page"]
