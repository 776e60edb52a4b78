" Colours of a model spec. Vim 9 and Neovim.
if exists("b:current_syntax")
  finish
endif

syntax case match
syntax sync minlines=50

syntax match moeMark "==\|!=\|<=\|>=\|//\|[=<>+\-*%/]"
syntax match moeFunction "\<\h\w*\ze\s*("
syntax match moeField "\<\h\w*\ze\s*==\@!"
syntax match moeBase "\<\h[A-Za-z0-9_.]*\>" contained

" `kind {`, `kind label {`, `kind label extends base {`, at the start of a line or behind { , or }
syntax match moeKind "\%(^\|[{,}]\@1<=\)\s*\zs\h\w*\ze\%(\s\+\h\w*\)\?\%(\s\+extends\s\+[A-Za-z0-9_.]\+\)\?\s*{" nextgroup=moeExtends,moeLabel skipwhite
syntax keyword moeExtends contained extends nextgroup=moeBase skipwhite
syntax match moeLabel "\<\h\w*\>" contained nextgroup=moeExtends skipwhite

syntax keyword moeKeyword use as assert extends if else and or not
syntax keyword moeLet let nextgroup=moeName skipwhite
syntax match moeName "\<\h\w*" contained
syntax keyword moeBoolean true false

syntax match moeNumber "\%(\h\)\@1<!\<\d[0-9_]*\%(\.\d[0-9_]*\)\?\%([eE][+-]\?\d[0-9_]*\w\@!\)\?\%(\%([kMGTP]B\|[KMGTP]iB\|[GTPEZ]\?FLOP\)/s\w\@!\|\w*\)"
syntax region moeString start=+"+ skip=+\\.+ end=+"+ oneline contains=moeEscape
syntax match moeEscape "\\\%([nt\"'\\]\|u{\x\{1,6}}\)" contained

syntax match moeComment "#.*$" contains=@Spell
syntax match moeDoc "///.*$" contains=@Spell

highlight default link moeBase Type
highlight default link moeBoolean Boolean
highlight default link moeComment Comment
highlight default link moeDoc SpecialComment
highlight default link moeEscape SpecialChar
highlight default link moeExtends Keyword
highlight default link moeField Identifier
highlight default link moeFunction Function
highlight default link moeKeyword Keyword
highlight default link moeKind Structure
highlight default link moeLabel Type
highlight default link moeLet Keyword
highlight default link moeMark Operator
highlight default link moeName Constant
highlight default link moeNumber Number
highlight default link moeString String

let b:current_syntax = "moe"
