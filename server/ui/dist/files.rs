[
    ("app-67fe206b84.css", "text/css", include_bytes!("app-67fe206b84.css.gz")),
    ("app-6e3a520bef.js", "text/javascript", include_bytes!("app-6e3a520bef.js.gz")),
    ("flame-f948cda11c.js", "text/javascript", include_bytes!("flame-f948cda11c.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-3924de295c.js", "text/javascript", include_bytes!("promql-3924de295c.js.gz")),
    ("views-6ea39f2be3.js", "text/javascript", include_bytes!("views-6ea39f2be3.js.gz")),
]
