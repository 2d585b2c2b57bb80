[
    ("app-22bb26e6c5.js", "text/javascript", include_bytes!("app-22bb26e6c5.js.gz")),
    ("app-60503f1beb.css", "text/css", include_bytes!("app-60503f1beb.css.gz")),
    ("flame-f948cda11c.js", "text/javascript", include_bytes!("flame-f948cda11c.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-3924de295c.js", "text/javascript", include_bytes!("promql-3924de295c.js.gz")),
    ("views-38b2b27af8.js", "text/javascript", include_bytes!("views-38b2b27af8.js.gz")),
]
