" Writes the syntax group of places of the current buffer: one line of `$MOEC_PLACES` each, `line column`, from 1.
let s:groups = []
for s:place in readfile($MOEC_PLACES)
  let [s:line, s:column] = split(s:place)
  call add(s:groups, synIDattr(synID(str2nr(s:line), str2nr(s:column), 1), 'name'))
endfor
call writefile(s:groups, $MOEC_GROUPS)
qall!
