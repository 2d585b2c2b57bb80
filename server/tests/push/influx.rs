//! InfluxDB's line protocol.

use std::io::Write as _;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[tokio::test]
async fn fields_are_metrics_and_tags_are_labels() {
    let setup = Setup::new().await;
    let now = now_ms();
    let body = format!(
        "cpu,host=web,cpu=cpu0 usage_idle=97.5,n=-3i,u=18446744073709551615u,up=t,version=\"1, 2\" {now}\n\
         disk,host=web,path=/a\\ b,mode=ü free=5i {now}\n"
    );
    assert_eq!(setup.lines(&body).await.status, 204);
    let labels = r#"{"__name__":"cpu_usage_idle","cpu":"cpu0","host":"web"}"#;
    assert_eq!(setup.ask("cpu_usage_idle", now).await, [(labels.to_owned(), 97.5)]);
    for (query, expected) in [
        ("cpu_n{host=\"web\"}", -3.0),
        ("cpu_u", 18_446_744_073_709_551_615.0),
        ("cpu_up", 1.0),
        ("disk_free{path=\"/a b\",mode=\"ü\"}", 5.0),
        ("count({host=\"web\"})", 5.0),
        ("{__name__=~\"disk_.*\"}", 5.0),
    ] {
        assert_eq!(setup.value(query, now).await.to_bits(), f64::to_bits(expected), "{query}");
    }
    assert!(setup.ask("cpu_version", now).await.is_empty(), "texts are left out");
    assert_eq!(setup.metric("s7mpa_server_push_left_out_total").await.to_bits(), 1f64.to_bits());
    assert_eq!(setup.metric("s7mpa_server_pushed_samples_total").await.to_bits(), 5f64.to_bits());
    let names =
        answer(setup.bare(Method::GET, "/api/v1/label/__name__/values").bearer_auth(&setup.owner)).await;
    let names: Value = serde_json::from_str(&names.body).expect("JSON");
    assert_eq!(names["data"], serde_json::json!(["cpu_n", "cpu_u", "cpu_up", "cpu_usage_idle", "disk_free"]));
}

#[tokio::test]
async fn clients_of_version_1_find_what_they_look_for() {
    let setup = Setup::new().await;
    let now = now_ms();
    let ping = answer(setup.bare(Method::GET, "/ping")).await;
    assert_eq!(ping.status, 204);
    assert!(ping.headers["x-influxdb-version"].to_str().expect("text").starts_with("1."));
    let create =
        setup.bare(Method::POST, "/query?q=CREATE%20DATABASE%20%22telegraf%22").bearer_auth(&setup.writer);
    let created = answer(create).await;
    assert_eq!((created.status, &*created.body), (200, r#"{"results":[{"statement_id":0}]}"#));
    let show = setup.bare(Method::GET, "/query?q=SHOW+DATABASES&u=x").bearer_auth(&setup.writer);
    assert!(answer(show).await.body.contains("\"databases\""));
    let select = answer(setup.bare(Method::GET, "/query?q=SELECT+1").bearer_auth(&setup.writer)).await;
    assert!(select.status == 400 && select.body.contains("PromQL"), "{}", select.body);

    let write = |query: &str, body: String| setup.bare(Method::POST, &format!("/write?{query}")).body(body);
    let token = &setup.writer;
    let seconds = now / 1000;
    for (nth, (query, time)) in [
        ("precision=s", seconds.to_string()),
        ("precision=ms", now.to_string()),
        ("precision=u", format!("{now}000")),
        ("precision=n", format!("{now}000000")),
        ("", format!("{now}000000")),
    ]
    .into_iter()
    .enumerate()
    {
        let request =
            write(&format!("db=telegraf&u=me&p={token}&{query}"), format!("m,nth={nth} a={nth} {time}"));
        let written = answer(request).await;
        assert_eq!((written.status, &*written.body), (204, ""), "{query}");
    }
    let basic = write("db=x&precision=m", format!("m,nth=5,db=own a=5 {}", seconds / 60));
    assert_eq!(answer(basic.basic_auth("me", Some(token))).await.status, 204);
    assert_eq!(
        answer(write("db=&precision=h", "m,nth=6 a=6".to_owned()).bearer_auth(token)).await.status,
        204
    );
    assert_eq!(setup.value("count(m_a{db=\"telegraf\"})", now).await.to_bits(), 5f64.to_bits());
    assert_eq!(
        setup.value("timestamp(m_a{db=\"own\"})", now).await.to_bits(),
        ((seconds / 60 * 60) as f64).to_bits()
    );
    let since = now_ms() + 1000;
    assert_eq!(setup.ask("m_a{db=\"\"}", since).await, [(r#"{"__name__":"m_a","nth":"6"}"#.to_owned(), 6.0)]);

    let wrong = answer(write("db=x&precision=fortnight", "m a=1".to_owned()).bearer_auth(token)).await;
    assert!(
        wrong.status == 400 && wrong.body.starts_with("{\"error\":\"precision `fortnight`"),
        "{}",
        wrong.body
    );
    let nobody = answer(write("db=x&u=me&p=guess", "m a=1".to_owned())).await;
    let body: Value = serde_json::from_str(&nobody.body).expect("JSON");
    assert_eq!((nobody.status, body["code"].as_str()), (401, Some("unauthorized")), "{body}");
    assert_eq!(body["error"], body["message"]);
}

#[tokio::test]
async fn bad_lines_are_named_and_good_ones_are_kept() {
    let setup = Setup::new().await;
    let now = now_ms();
    let body = format!(
        "m a=1 {now}\nm a=\n\n# comment\nm b=NaN {now}\nm c=2 {now}\nm d=1 -5\ns7mpa_host load1=1 {now}\n\
         m,t=1,t=2 e=1 {now}\nm f=1 {}\nm g=1 9223372036854775807\nm h=3 {now}",
        now + 2 * 3_600_000
    );
    let written = setup.lines(&body).await;
    let error: Value = serde_json::from_str(&written.body).expect("JSON");
    assert_eq!(
        (written.status, &error["code"], &error["line"]),
        (400, &"invalid".into(), &2.into()),
        "{error}"
    );
    let message = error["message"].as_str().expect("text");
    for part in [
        "partial write: line 2: column 5",
        "line 5: column 5",
        "line 7: its time",
        "line 8: `s7mpa_host_load1`",
        "dropped=7",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    for (query, count) in [("m_a", 1), ("m_c", 1), ("m_h", 1), ("{__name__=~\"m_[bdefg]\"}", 0)] {
        assert_eq!(setup.ask(query, now).await.len(), count, "{query}");
    }
    for (reason, count) in
        [("malformed", 2.0), ("time", 3.0), ("labels", 1.0), ("name", 1.0), ("series", 0.0)]
    {
        let name = format!("s7mpa_server_push_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(setup.metric(&name).await.to_bits(), f64::to_bits(count), "{name}");
    }
    let old = setup.post("/write?db=d&precision=ms", "m a=1 5\n");
    let old = answer(old).await;
    assert!(
        old.status == 400 && old.body.starts_with("{\"error\":\"partial write: line 1: "),
        "{}",
        old.body
    );
    assert!(old.headers["x-influxdb-error"].to_str().expect("text").contains("1970"));
}

#[tokio::test]
async fn compressed_bodies_are_read_within_bounds() {
    let setup = Setup::new().await;
    let now = now_ms();
    let write = |encoding: &str, body: Vec<u8>| {
        setup.post("/api/v2/write?precision=ms", body).header("content-encoding", encoding)
    };
    let lines = joined((0..5_000).map(|n| format!("m,nth=a{} v={n} {}\n", n % 500, now - n)));
    assert_eq!(answer(write("gzip", gzip(lines.as_bytes()))).await.status, 204);
    assert_eq!(setup.value("count(m_v)", now).await.to_bits(), 500f64.to_bits());
    assert_eq!(setup.value("sum(count_over_time(m_v[1m]))", now).await.to_bits(), 5_000f64.to_bits());
    assert_eq!(answer(write("identity", lines.into_bytes())).await.status, 204);
    assert_eq!(
        setup.value("sum(count_over_time(m_v[1m]))", now).await.to_bits(),
        5_000f64.to_bits(),
        "the same again"
    );

    let cut = gzip(format!("m v=1 {now}").as_bytes());
    assert_eq!(answer(write("gzip", cut[..cut.len() - 4].to_vec())).await.status, 400);
    assert_eq!(answer(write("gzip", b"m v=1".to_vec())).await.status, 400);
    for other in ["zstd", "gzip, gzip", "br"] {
        assert_eq!(answer(write(other, cut.clone())).await.status, 415, "{other}");
    }
}

#[tokio::test]
async fn a_time_that_comes_again_has_the_later_value() {
    let setup = Setup::new().await;
    let now = now_ms();
    for (value, at) in [(1, now - 2_000), (2, now - 1_000), (3, now - 2_000), (9, now - 60_000)] {
        assert_eq!(setup.lines(&format!("m a={value} {at}")).await.status, 204);
    }
    assert_eq!(setup.lines(&format!("m a=7 {now}\nm a=8 {now}\n")).await.status, 204);
    for settled in [false, true] {
        assert_eq!(setup.value("count_over_time(m_a[5m])", now).await.to_bits(), 4f64.to_bits(), "{settled}");
        assert_eq!(setup.value("sum_over_time(m_a[5m])", now).await.to_bits(), 22f64.to_bits(), "{settled}");
        setup.store.settle().expect("settled");
    }
}
