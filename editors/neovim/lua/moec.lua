-- The client of `moec lsp` for Neovim 0.7 and newer. Colours and settings of .moe files are those of editors/vim.

local M = {}

local ROOT_MARKS = { "moec.root", ".git", "pyproject.toml" }
local COMMANDS = { "moec.plan", "moec.compile", "moec.diff" }
local clients = {}

--- The nearest folder above `path` that holds one of ROOT_MARKS, else the folder of `path`: as moec sees it.
local function root_of(path)
  local folder = vim.fn.fnamemodify(path, ":p:h")
  local own = folder
  while true do
    for _, mark in ipairs(ROOT_MARKS) do
      if vim.fn.filereadable(folder .. "/" .. mark) == 1 or vim.fn.isdirectory(folder .. "/" .. mark) == 1 then
        return folder
      end
    end
    local parent = vim.fn.fnamemodify(folder, ":h")
    if parent == folder then
      return own
    end
    folder = parent
  end
end

local function is_spec(buffer)
  local name = vim.api.nvim_buf_get_name(buffer)
  return vim.bo[buffer].filetype == "moe" or name:match("%.moe%.yaml$") ~= nil
end

--- Shows what a command of the server gave, in a window of its own that holds no file.
local function show(page)
  vim.cmd("botright new")
  local buffer = vim.api.nvim_get_current_buf()
  vim.bo[buffer].buftype = "nofile"
  vim.bo[buffer].bufhidden = "wipe"
  vim.bo[buffer].swapfile = false
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split(page.text, "\n"))
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].filetype = page.uri:match("%.md$") and "markdown" or "python"
end

--- What a lens above a run does when it is run: the page comes back from the server and is shown.
local function run_command(command, context)
  local client = vim.lsp.get_client_by_id(context.client_id)
  local question = { command = command.command, arguments = command.arguments }
  local function answered(problem, page)
    if problem then
      vim.notify("moec: " .. problem.message, vim.log.levels.ERROR)
    elseif page then
      show(page)
    end
  end
  if vim.fn.has("nvim-0.11") == 1 then
    client:request("workspace/executeCommand", question, answered, context.bufnr)
  else
    client.request("workspace/executeCommand", question, answered, context.bufnr)
  end
end

--- Keeps the numbers above runs up to date; those between the lines, too, where Neovim can show them (0.10).
local function show_numbers(buffer)
  if vim.lsp.inlay_hint then
    vim.lsp.inlay_hint.enable(true, { bufnr = buffer })
  end
  if vim.lsp.codelens.enable then -- 0.12 keeps them up to date itself
    vim.lsp.codelens.enable(true, { bufnr = buffer })
    return
  end
  vim.api.nvim_create_autocmd({ "BufEnter", "CursorHold", "InsertLeave", "TextChanged" }, {
    buffer = buffer,
    callback = function()
      vim.lsp.codelens.refresh()
    end,
  })
  vim.lsp.codelens.refresh()
end

local function configuration(options, root)
  local capabilities = options.capabilities or vim.lsp.protocol.make_client_capabilities()
  capabilities.window = vim.tbl_extend("force", capabilities.window or {}, { showDocument = { support = false } })
  local also = options.on_attach
  return vim.tbl_extend("force", { name = "moec", root_dir = root }, options, {
    capabilities = capabilities,
    on_attach = function(client, buffer)
      show_numbers(buffer)
      if also then
        also(client, buffer)
      end
    end,
  })
end

--- Starts the server for the project of `buffer`, or joins the one that runs there.
local function attach(buffer, options)
  if not is_spec(buffer) then
    return
  end
  if vim.fn.executable(options.cmd[1]) == 0 then
    vim.notify_once("moec: no `" .. options.cmd[1] .. '` on the PATH; pip install "moec[lsp]"', vim.log.levels.WARN)
    return
  end
  local root = root_of(vim.api.nvim_buf_get_name(buffer))
  if vim.lsp.start then
    vim.lsp.start(configuration(options, root), { bufnr = buffer })
    return
  end
  local client = clients[root]
  if not client or vim.lsp.client_is_stopped(client) then
    client = vim.lsp.start_client(configuration(options, root))
    clients[root] = client
  end
  vim.lsp.buf_attach_client(buffer, client)
end

--- Attaches the server to every spec that is opened. `options` are those of `vim.lsp.start`, for example `on_attach`;
--- `cmd` is `{ "moec", "lsp" }` unless given.
function M.setup(options)
  options = vim.tbl_extend("force", { cmd = { "moec", "lsp" } }, options or {})
  vim.cmd("highlight default link LspCodeLens Comment")
  for _, name in ipairs(COMMANDS) do
    vim.lsp.commands[name] = run_command
  end
  vim.api.nvim_create_autocmd("FileType", {
    group = vim.api.nvim_create_augroup("moec", { clear = true }),
    pattern = { "moe", "yaml" },
    callback = function(event)
      if event.match == "moe" and vim.treesitter and vim.treesitter.start then
        pcall(vim.treesitter.start, event.buf, "moe") -- colours from the tree, where its parser is installed
      end
      attach(event.buf, options)
    end,
  })
end

return M
