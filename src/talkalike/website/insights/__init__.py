"""What people think: how the models stand, how much people agree, and what they like least.

`sections` and `measured` make each part's table, the same for the page and for CSV files, and describe its chart.
"""
