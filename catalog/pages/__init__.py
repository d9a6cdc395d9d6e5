"""The web pages: a skin of the library, as the command line is one.

Every module of `catalog.pages.routes` is a page: its `PATH` says where it stands, its function
`show` takes what was asked and returns what is shown, its template is `templates/<module>.html`.
`rendering` makes HTML, JSON, CSV and Parquet of that, `walls` stands before all of it. Adding a
page is adding a module and its template.
"""
