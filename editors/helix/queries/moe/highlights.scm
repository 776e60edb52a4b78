; Colours of `.moe`, under the names that Helix knows.

(doc_comment) @comment.line.documentation
(comment) @comment.line

(string) @string
(escape) @constant.character.escape
(number) @constant.numeric
(topology) @constant.numeric
(boolean) @constant.builtin.boolean

["let" "use" "as" "extends" "assert"] @keyword
["if" "else"] @keyword.control.conditional
["and" "or" "not"] @keyword.operator

(reference (name) @variable)
(use alias: (name) @namespace)
(let name: (name) @constant)
(field name: (name) @variable.other.member)
(call function: (name) @function)
(block kind: (name) @keyword.storage.type)
(block label: (name) @type)
(base (name) @type)

["=" "==" "!=" "<" "<=" ">" ">=" "+" "-" "*" "/" "//" "%"] @operator
["{" "}" "[" "]" "(" ")"] @punctuation.bracket
["," ":" "."] @punctuation.delimiter
