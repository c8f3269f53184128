"""What people think: how the models stand, how much people agree, and what they like least.

`tables` makes the numbers, the same ones for the page and for CSV files; `charts` draws; `sections` puts both together.
"""
