//! What other programs read about the data: a data package (Frictionless), Croissant, schema.org, and the licence.

use hmac_sha256::Hash;
use serde_json::{Value, json};
use tool_telemetry_definition::Publisher;

use super::Site;
use super::data_table::{ColumnKind, DataTable};
use super::file::File;
use super::timeline::Timeline;

/// What the metadata files describe.
#[derive(Debug)]
pub(super) struct Description<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) publisher: &'a Publisher,
    pub(super) timeline: &'a Timeline<'a>,
    pub(super) tables: &'a [DataTable],
    pub(super) files: &'a [File],
}

/// The licence of a publisher, with its address.
pub(super) fn licence_url(identifier: &str) -> String {
    let path = match identifier {
        "CC0-1.0" => "publicdomain/zero/1.0/".to_owned(),
        identifier => match identifier.strip_prefix("CC-").and_then(|rest| rest.rsplit_once('-')) {
            Some((terms, version)) => format!("licenses/{}/{version}/", terms.to_ascii_lowercase()),
            None => return format!("https://spdx.org/licenses/{identifier}.html"),
        },
    };
    format!("https://creativecommons.org/{path}")
}

/// The name of a tool's data package, by which a site is recognised.
pub(super) fn package_name(tool: &str) -> String {
    format!("{tool}-usage")
}

impl Description<'_> {
    fn title(&self) -> String {
        format!("How {} is used", self.site.tool)
    }

    fn description(&self) -> String {
        let warning = self.site.warning.map(|warning| format!("{warning} ")).unwrap_or_default();
        format!(
            "{warning}How many installations of the command-line tool {} used what, by period. Each number contains random \
             noise and is rounded to 5; numbers below a threshold are not published. {}",
            self.site.tool, self.site.promise
        )
    }

    /// How to give credit.
    pub(super) fn credit(&self) -> String {
        format!("{}, {}", self.publisher.name, self.title())
    }

    /// The day of the newest release.
    fn published(&self) -> Option<&str> {
        self.timeline.releases().map(|(_, release)| release.released.as_str()).max()
    }

    fn covered(&self) -> Option<(String, String)> {
        let (first, last) = (self.timeline.periods.first()?, self.timeline.periods.last()?);
        Some((first.start.to_string(), last.end().to_string()))
    }

    /// The address of a file: below the address of the site, if it is known.
    fn address(&self, path: &str) -> String {
        match self.publisher.published_at {
            Some(base) => format!("{}/{path}", base.trim_end_matches('/')),
            None => path.to_owned(),
        }
    }

    fn data_file(&self, table: &DataTable, ending: &str) -> Option<&File> {
        let path = format!("data/{}.{ending}", table.name);
        self.files.iter().find(|file| file.path == path)
    }
}

/// `datapackage.json`.
pub(super) fn data_package(description: &Description<'_>) -> String {
    let resources: Vec<Value> = description
        .tables
        .iter()
        .filter_map(|table| {
            let file = description.data_file(table, "csv")?;
            let fields: Vec<Value> = table
                .columns
                .iter()
                .map(|column| {
                    let kind = match column.kind {
                        ColumnKind::Day => "date",
                        ColumnKind::Text => "string",
                        ColumnKind::Bool => "boolean",
                        ColumnKind::Integer => "integer",
                        ColumnKind::Number => "number",
                    };
                    json!({
                        "name": column.name, "type": kind, "description": column.description,
                        "constraints": { "required": !column.is_optional },
                    })
                })
                .collect();
            Some(json!({
                "name": table.name, "title": table.title, "path": file.path, "profile": "tabular-data-resource",
                "format": "csv", "mediatype": "text/csv", "encoding": "utf-8",
                "dialect": { "delimiter": ",", "lineTerminator": "\n", "quoteChar": "\"", "doubleQuote": true, "header": true },
                "bytes": file.content.len(), "hash": format!("sha256:{}", sha256(&file.content)),
                "schema": { "fields": fields, "missingValues": [""] },
            }))
        })
        .collect();
    let package = json!({
        "profile": "tabular-data-package",
        "name": package_name(description.site.tool),
        "title": description.title(),
        "description": description.description(),
        "homepage": description.publisher.published_at,
        "created": description.published().map(|day| format!("{day}T00:00:00Z")),
        "licenses": [{ "name": description.publisher.licence, "path": licence_url(description.publisher.licence) }],
        "contributors": [{ "title": description.publisher.name, "role": "publisher" }],
        "resources": resources,
    });
    pretty(&without_null(package))
}

/// `croissant.json`.
pub(super) fn croissant(description: &Description<'_>) -> String {
    let mut distribution = Vec::new();
    let mut record_sets = Vec::new();
    for table in description.tables {
        for (ending, kind) in
            [("csv", "text/csv"), ("parquet", "application/x-parquet"), ("json", "application/json")]
        {
            let Some(file) = description.data_file(table, ending) else { continue };
            distribution.push(json!({
                "@type": "cr:FileObject", "@id": file.path, "name": file.path, "contentUrl": file.path,
                "encodingFormat": kind, "sha256": sha256(&file.content),
            }));
        }
        let csv = format!("data/{}.csv", table.name);
        let fields: Vec<Value> = table
            .columns
            .iter()
            .map(|column| {
                let kind = match column.kind {
                    ColumnKind::Day => "sc:Date",
                    ColumnKind::Text => "sc:Text",
                    ColumnKind::Bool => "sc:Boolean",
                    ColumnKind::Integer => "sc:Integer",
                    ColumnKind::Number => "sc:Float",
                };
                json!({
                    "@type": "cr:Field", "@id": format!("{}/{}", table.name, column.name), "name": column.name,
                    "description": column.description, "dataType": kind,
                    "source": { "fileObject": { "@id": csv }, "extract": { "column": column.name } },
                })
            })
            .collect();
        record_sets.push(json!({
            "@type": "cr:RecordSet", "@id": table.name, "name": table.name, "description": table.title, "field": fields,
        }));
    }
    let mut dataset = dataset(description);
    dataset["@context"] = croissant_context();
    dataset["@type"] = "sc:Dataset".into();
    dataset["conformsTo"] = "http://mlcommons.org/croissant/1.0".into();
    dataset["citeAs"] = description.credit().into();
    dataset["distribution"] = distribution.into();
    dataset["recordSet"] = record_sets.into();
    pretty(&without_null(dataset))
}

/// A `Dataset` of schema.org for the page, without a character that could end its `script` element.
pub(super) fn json_ld(description: &Description<'_>) -> String {
    let mut distribution = Vec::new();
    for table in description.tables {
        for (ending, kind) in
            [("csv", "text/csv"), ("json", "application/json"), ("parquet", "application/vnd.apache.parquet")]
        {
            let Some(file) = description.data_file(table, ending) else { continue };
            distribution.push(json!({
                "@type": "DataDownload", "name": table.title, "encodingFormat": kind,
                "contentUrl": description.address(&file.path),
            }));
        }
    }
    let mut dataset = dataset(description);
    dataset["@context"] = "https://schema.org/".into();
    dataset["@type"] = "Dataset".into();
    dataset["distribution"] = distribution.into();
    let text = without_null(dataset).to_string();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// What Croissant and schema.org have in common.
fn dataset(description: &Description<'_>) -> Value {
    let measured: Vec<&str> = description.tables.iter().map(|table| table.title.as_str()).collect();
    json!({
        "name": package_name(description.site.tool),
        "alternateName": description.title(),
        "description": description.description(),
        "url": description.publisher.published_at.unwrap_or("index.html"),
        "license": licence_url(description.publisher.licence),
        "creator": { "@type": "Organization", "name": description.publisher.name },
        "publisher": { "@type": "Organization", "name": description.publisher.name },
        "creditText": description.credit(),
        "datePublished": description.published(),
        "version": format!("{}.0.0", description.timeline.releases().count()),
        "temporalCoverage": description.covered().map(|(first, last)| format!("{first}/{last}")),
        "isAccessibleForFree": true,
        "keywords": ["telemetry", "command-line tools", "differential privacy", description.site.tool],
        "variableMeasured": measured,
        "measurementTechnique":
            "Counts of installations that report by themselves, with discrete Gaussian noise (differential privacy)",
    })
}

/// `LICENSE`.
pub(super) fn licence(description: &Description<'_>) -> String {
    let identifier = description.publisher.licence;
    format!(
        "The data and the pages in this directory are licensed under {identifier}:\n{}\n\n\
         To give credit, write:\n\n    {}{}\n    Licence: {identifier}. Numbers contain random noise.\n\n\
         If you changed the numbers, say so.\n",
        licence_url(identifier),
        description.credit(),
        description.publisher.published_at.map(|url| format!(", {url}")).unwrap_or_default(),
    )
}

fn sha256(content: &[u8]) -> String {
    Hash::hash(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn without_null(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    value
}

/// Croissant 1.0 prescribes these terms.
fn croissant_context() -> Value {
    let any = |name: &str| json!({ "@id": name, "@type": "@json" });
    json!({
        "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
        "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/", "data": any("cr:data"),
        "dataType": { "@id": "cr:dataType", "@type": "@vocab" }, "dct": "http://purl.org/dc/terms/",
        "equivalentProperty": "cr:equivalentProperty", "examples": any("cr:examples"), "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty",
        "fileObject": "cr:fileObject", "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes",
        "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
        "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references",
        "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/",
        "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",

    })
}
