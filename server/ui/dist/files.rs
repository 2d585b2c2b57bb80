[
    ("app-7cd486e571.js", "text/javascript", include_bytes!("app-7cd486e571.js.gz")),
    ("app-a279e1d163.css", "text/css", include_bytes!("app-a279e1d163.css.gz")),
    ("flame-d3852e8bc3.js", "text/javascript", include_bytes!("flame-d3852e8bc3.js.gz")),
    ("icon-bf0a1e1c21.svg", "image/svg+xml", include_bytes!("icon-bf0a1e1c21.svg.gz")),
    ("index.html", "text/html", include_bytes!("index.html.gz")),
    ("promql-3924de295c.js", "text/javascript", include_bytes!("promql-3924de295c.js.gz")),
]
