[
    ("app-3613e0c56d.js", "text/javascript", include_bytes!("app-3613e0c56d.js.gz")),
    ("app-5ab735ed2e.css", "text/css", include_bytes!("app-5ab735ed2e.css.gz")),
    ("flame-f948cda11c.js", "text/javascript", include_bytes!("flame-f948cda11c.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-3924de295c.js", "text/javascript", include_bytes!("promql-3924de295c.js.gz")),
    ("views-4d1140feb4.js", "text/javascript", include_bytes!("views-4d1140feb4.js.gz")),
]
