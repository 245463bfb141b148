"""The artifacts of all stages -> one self-contained HTML page.

In: the artifacts of every split. Out: report/index.html.
"""
