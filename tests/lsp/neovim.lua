-- A person in Neovim: opens a spec, sees its mistake, jumps, renames, lays out, completes. Works from Neovim 0.7 on.
-- MOEC_COMMAND starts the server, MOEC_SPEC is the file, MOEC_ANSWER gets what happened, as JSON.

local seen = {}

local function wait_until(what, condition)
  if not vim.wait(20000, condition, 20) then
    error("waited too long for " .. what)
  end
end

local function put_cursor_on(words)
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  assert(vim.fn.search("\\V" .. words, "cW") > 0, "the text has no " .. words)
end

local function ask(method, params)
  local answers = vim.lsp.buf_request_sync(0, method, params, 20000)
  for _, answer in pairs(answers or {}) do
    return answer.result
  end
end

local function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), "\n") .. "\n"
end

local function act()
  vim.cmd("edit " .. vim.env.MOEC_SPEC)
  local spec = vim.api.nvim_get_current_buf()
  local client = vim.lsp.start_client({
    name = "moec",
    cmd = vim.split(vim.env.MOEC_COMMAND, " "),
    root_dir = vim.fn.fnamemodify(vim.env.MOEC_SPEC, ":h"),
    get_language_id = function() return "moe" end,
  })
  vim.lsp.buf_attach_client(spec, client)

  wait_until("diagnostics", function() return #vim.diagnostic.get(spec) > 0 end)
  seen.codes = vim.tbl_map(function(one) return one.code or one.user_data.lsp.code end, vim.diagnostic.get(spec))

  put_cursor_on("n_laers")
  vim.api.nvim_set_current_line((vim.api.nvim_get_current_line():gsub("n_laers", "n_layers")))
  wait_until("the mistake to go", function() return #vim.diagnostic.get(spec) == 0 end)

  put_cursor_on("heads }")
  local links = ask("textDocument/definition", vim.lsp.util.make_position_params(0, "utf-16"))
  vim.lsp.util.jump_to_location(links[1], "utf-16")
  seen.jumped_to = vim.api.nvim_get_current_line()

  put_cursor_on("dense, mesh")
  vim.lsp.buf.rename("thick")
  wait_until("the new name", function() return text():find("model thick {", 1, true) ~= nil end)
  seen.renamed = text()

  if vim.lsp.buf.format then
    vim.lsp.buf.format({ timeout_ms = 20000 })
  else
    vim.lsp.buf.formatting_sync(nil, 20000)
  end
  seen.formatted = text()

  put_cursor_on("swiglu")
  local offers = ask("textDocument/completion", vim.lsp.util.make_position_params(0, "utf-16"))
  seen.offered = vim.tbl_map(function(item) return item.label end, offers.items)
  vim.lsp.stop_client(client)
end

local fine, problem = pcall(act)
if not fine then
  seen.problem = problem
end
vim.fn.writefile({ vim.fn.json_encode(seen) }, vim.env.MOEC_ANSWER)
vim.cmd("qall!")
