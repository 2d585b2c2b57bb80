[
    ("app-5a7b13f2bf.js", "text/javascript", include_bytes!("app-5a7b13f2bf.js.gz")),
    ("app-779e1e2df6.css", "text/css", include_bytes!("app-779e1e2df6.css.gz")),
    ("flame-f948cda11c.js", "text/javascript", include_bytes!("flame-f948cda11c.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-3924de295c.js", "text/javascript", include_bytes!("promql-3924de295c.js.gz")),
    ("views-ab7add3ec5.js", "text/javascript", include_bytes!("views-ab7add3ec5.js.gz")),
]
