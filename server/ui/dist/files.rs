[
    ("app-6f4ec9fe85.js", "text/javascript", include_bytes!("app-6f4ec9fe85.js.gz")),
    ("app-df76f8ccf8.css", "text/css", include_bytes!("app-df76f8ccf8.css.gz")),
    ("flame-f948cda11c.js", "text/javascript", include_bytes!("flame-f948cda11c.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-3924de295c.js", "text/javascript", include_bytes!("promql-3924de295c.js.gz")),
]
