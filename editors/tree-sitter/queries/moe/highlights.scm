; Colours of `.moe`, under the names that Neovim and the tree-sitter command know.

(doc_comment) @comment.documentation
(comment) @comment

(string) @string
(escape) @string.escape
(number) @number
(topology) @number
(boolean) @boolean

["let" "use" "as" "extends" "assert"] @keyword
["if" "else"] @keyword.conditional
["and" "or" "not"] @keyword.operator

(reference (name) @variable)
(use alias: (name) @module)
(let name: (name) @constant)
(field name: (name) @property)
(call function: (name) @function.call)
(block kind: (name) @keyword.type)
(block label: (name) @type)
(base (name) @type)

["=" "==" "!=" "<" "<=" ">" ">=" "+" "-" "*" "/" "//" "%"] @operator
["{" "}" "[" "]" "(" ")"] @punctuation.bracket
["," ":" "."] @punctuation.delimiter
