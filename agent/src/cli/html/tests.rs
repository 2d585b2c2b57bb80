use super::*;

#[test]
fn foreign_text_cannot_leave_its_place() {
    assert_eq!(
        text("<a href=\"x\">&'\u{1b}\u{202e}"),
        "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\\u{1b}\\u{202e}"
    );
    let hostile = "</td><script>alert(1)</script>\" onload='x".to_owned();
    let process = ReportProcess {
        pid: 7,
        comm: hostile.clone(),
        cgroup: hostile.clone(),
        states: [("oncpu_user_ns".to_owned(), 5), (hostile.clone(), 5)].into(),
        ..ReportProcess::default()
    };
    let mut finding =
        agent_common::wire::finding::testing::alert("a", agent_common::wire::finding::AlertState::Open)
            .finding;
    finding.subject.comm = Some(hostile.clone());
    finding.class = hostile.as_str().into();
    finding.advice.clone_from(&hostile);
    finding.stacks = vec![format!("{hostile};{hostile} 7")];
    let report = Report {
        verdict: hostile.clone(),
        host: hostile.clone(),
        window_s: 1.0,
        processes: vec![process],
        findings: vec![finding],
        unknown: vec![hostile],
        ..Report::default()
    };
    let html = page(&Page { report, graphs: Vec::new(), until_unix_ns: 0 }, 0);
    assert!(!html.contains("<script") && !html.contains("\" onload"), "{html}");
    assert_eq!(html.matches("<td class=\"name\"").count(), 1);
}

#[test]
fn the_page_asks_for_nothing_from_elsewhere() {
    let html = page(&Page { report: Report::default(), graphs: Vec::new(), until_unix_ns: 0 }, 0);
    for word in ["http://", "https://", "src=\"", "@import", "url("] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn a_bar_is_all_of_the_time() {
    let states = [("oncpu_user_ns", 1), ("fsync_ns", 2), ("poll_ns", 4)];
    let html = bar(&states.map(|(name, ns)| (name.to_owned(), ns)).into());
    let widths: f64 =
        html.split("width:").skip(1).filter_map(|part| part.split('%').next()?.parse::<f64>().ok()).sum();
    assert!((widths - 100.0).abs() < 0.01, "{html}");
    assert!(html.find("oncpu_user") < html.find("fsync") && html.find("fsync") < html.find("poll"));
}
