//! The build glue of the `rt` module's documentation, in its three forms.

fn main() {
    let args: &[&str] = if cfg!(feature = "script") {
        &["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,-Tbarecall.x"]
    } else if cfg!(feature = "pie") {
        &["-nostartfiles", "-nostdlib", "-static-pie"]
    } else {
        &["-nostartfiles", "-nostdlib", "-static", "-no-pie"]
    };
    for arg in args {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
}
