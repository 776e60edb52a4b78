autocmd BufNewFile,BufRead *.moe setfiletype moe
autocmd BufNewFile,BufRead *.moe.yaml setfiletype yaml
