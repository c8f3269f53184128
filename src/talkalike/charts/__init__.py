"""Charts for every page, report and file: what is to be drawn is a value, and `plotter` makes SVG of it."""
