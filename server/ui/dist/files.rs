[
    ("app-51e718e54a.css", "text/css", include_bytes!("app-51e718e54a.css.gz")),
    ("app-b2c72e6efa.js", "text/javascript", include_bytes!("app-b2c72e6efa.js.gz")),
    ("flame-8669f048a0.js", "text/javascript", include_bytes!("flame-8669f048a0.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-e3b0c44298.js", "text/javascript", include_bytes!("promql-e3b0c44298.js.gz")),
]
