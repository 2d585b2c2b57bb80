[
    ("app-11cb96402b.js", "text/javascript", include_bytes!("app-11cb96402b.js.gz")),
    ("app-edb4bfb9eb.css", "text/css", include_bytes!("app-edb4bfb9eb.css.gz")),
    ("flame-f948cda11c.js", "text/javascript", include_bytes!("flame-f948cda11c.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-3924de295c.js", "text/javascript", include_bytes!("promql-3924de295c.js.gz")),
    ("views-7cd2211bc9.js", "text/javascript", include_bytes!("views-7cd2211bc9.js.gz")),
]
