"""Everything before -> one self-contained HTML page.

In: the artifacts of every split. Out: report/index.html.
"""
