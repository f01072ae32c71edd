//! Writes the definitions of the custom resources and the page about them, or checks that they are current.
//!
//! `crdgen` writes the files; `crdgen --check` only says which are not what would be written.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use portcullis_crds::{definitions, render_markdown};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let only_check = std::env::args().skip(1).any(|argument| argument == "--check");
    let mut stale = Vec::new();
    for (path, text) in files()? {
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if only_check {
            stale.push(path);
        } else {
            fs::write(path, text)?;
        }
    }
    for path in &stale {
        writeln!(std::io::stderr(), "{} is not what the program writes: make crds", path.display())?;
    }
    Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn files() -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let definitions = definitions()?;
    let mut files = Vec::new();
    for definition in &definitions {
        files.push((own.join("yaml").join(&definition.file_name), definition.yaml()?));
    }
    let [definition, _] = &definitions;
    files.push((own.join("../deploy/docs/class-parameters.md"), render_markdown(definition)));
    Ok(files)
}
