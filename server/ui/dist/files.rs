[
    ("app-11359ca6b0.css", "text/css", include_bytes!("app-11359ca6b0.css.gz")),
    ("app-5fb5bb0ae5.js", "text/javascript", include_bytes!("app-5fb5bb0ae5.js.gz")),
    ("flame-d3852e8bc3.js", "text/javascript", include_bytes!("flame-d3852e8bc3.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-e3b0c44298.js", "text/javascript", include_bytes!("promql-e3b0c44298.js.gz")),
]
