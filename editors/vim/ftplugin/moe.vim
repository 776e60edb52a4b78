" Settings of a buffer with a model spec. Vim 9 and Neovim.
if exists("b:did_ftplugin")
  finish
endif
let b:did_ftplugin = 1

setlocal comments=:///,:# commentstring=#\ %s
setlocal expandtab shiftwidth=2 softtabstop=2
setlocal formatoptions-=t formatoptions+=croql
setlocal iskeyword=@,48-57,_
setlocal smartindent
setlocal suffixesadd=.moe include=^\\s*use\\s

if executable("moec")
  setlocal formatprg=moec\ fmt\ -
  setlocal makeprg=moec\ check\ --format\ concise\ %:S
  setlocal errorformat=%f:%l:%c:\ %t%*[a-z][MOE%n]:\ %m
endif

let b:undo_ftplugin = "setlocal comments< commentstring< expandtab< shiftwidth< softtabstop< formatoptions<"
      \ . " iskeyword< smartindent< suffixesadd< include< formatprg< makeprg< errorformat<"
