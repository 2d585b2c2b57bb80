[
    ("app-252d563184.css", "text/css", include_bytes!("app-252d563184.css.gz")),
    ("app-385f3db134.js", "text/javascript", include_bytes!("app-385f3db134.js.gz")),
    ("flame-f948cda11c.js", "text/javascript", include_bytes!("flame-f948cda11c.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-3924de295c.js", "text/javascript", include_bytes!("promql-3924de295c.js.gz")),
    ("views-fd07d3f96d.js", "text/javascript", include_bytes!("views-fd07d3f96d.js.gz")),
]
