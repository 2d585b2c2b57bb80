[
    ("app-086a26fc24.css", "text/css", include_bytes!("app-086a26fc24.css.gz")),
    ("app-d657ff4859.js", "text/javascript", include_bytes!("app-d657ff4859.js.gz")),
    ("flame-d3852e8bc3.js", "text/javascript", include_bytes!("flame-d3852e8bc3.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-3924de295c.js", "text/javascript", include_bytes!("promql-3924de295c.js.gz")),
]
