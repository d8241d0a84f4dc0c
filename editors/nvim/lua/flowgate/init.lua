-- Starts the language server for flows and the files of flows, in every Neovim since 0.7.
local M = {}

local uv = vim.uv or vim.loop
local native = vim.fn.has('nvim-0.11') == 1
local options = { cmd = { 'flowgate', 'lsp' } }

-- The client of each root, where Neovim does not find a running one by itself (before 0.8).
local clients = {}
local told = false

--- Sets options; needed only to change the defaults.
---   cmd: the command that starts the server, a list of words.
function M.setup(given)
  options = vim.tbl_extend('force', options, given or {})
  told = false
end

--- The command that starts the server.
function M.cmd()
  return options.cmd
end

local function is_flow(name)
  return (name:match('^flow%.dag%.') or name:match('^flow%.flex%.')) ~= nil and name:match('%.ya?ml$') ~= nil
end

-- True where a flow stands in the file's folder or in one of the two above.
local function in_flow(path)
  local folder = vim.fn.fnamemodify(path, ':p:h')
  for _ = 1, 3 do
    for _, flow in ipairs(vim.fn.glob(folder .. '/flow.*.y*ml', true, true)) do
      if is_flow(flow:match('[^/\\]*$'):lower()) then
        return true
      end
    end
    folder = vim.fn.fnamemodify(folder, ':h')
  end
  return false
end

-- True for a YAML text that may be a run specification or a connection; the server looks closer.
local function is_sibling(buffer)
  local keys = {}
  for _, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, 100, false)) do
    local key, value = line:match('^["\']?([%$%w_]+)["\']?:%s*(.*)$')
    if key then
      keys[key] = value
    end
  end
  return (keys['$schema'] or ''):match('/promptflow/') ~= nil
    or (keys.flow ~= nil and (keys.data or keys.run or keys.column_mapping) ~= nil)
    or (keys.type ~= nil and (keys.api_key or keys.auth_mode or keys.secrets) ~= nil)
end

--- True for a file that flowgate reads: by its name, by the flow that it stands in, or by its text.
function M.is_ours(path, buffer)
  local name = path:match('[^/\\]*$'):lower()
  if is_flow(name) or name:match('%.prompty$') or name:match('requirements.*%.txt$') then
    return true
  end
  if name:match('%.py$') or name:match('%.jinja2?$') or name:match('%.j2$') then
    return in_flow(path)
  end
  return name:match('%.ya?ml$') ~= nil and name ~= 'flowgate.yaml' and buffer ~= nil and is_sibling(buffer)
end

--- The folder that belongs together: up to the nearest configuration or repository.
function M.root(path)
  local start = path:match('^(.*)[/\\]') or uv.cwd()
  local folder = start
  while true do
    if uv.fs_stat(folder .. '/flowgate.yaml') or uv.fs_stat(folder .. '/.git') then
      return folder
    end
    local parent = vim.fn.fnamemodify(folder, ':h')
    if parent == folder then
      return start
    end
    folder = parent
  end
end

--- The running clients, of a buffer or of all.
function M.clients(buffer)
  if vim.lsp.get_clients then
    return vim.lsp.get_clients({ name = 'flowgate', bufnr = buffer })
  end
  local found = buffer and vim.lsp.buf_get_clients(buffer) or vim.lsp.get_active_clients()
  return vim.tbl_filter(function(client)
    return client.name == 'flowgate'
  end, found)
end

local function installed()
  if vim.fn.executable(options.cmd[1]) == 1 then
    return true
  end
  if not told then
    told = true
    vim.notify(
      ('flowgate: `%s` is not in PATH; install it, or call require("flowgate").setup({ cmd = { "/path/to/flowgate", "lsp" } })'):format(options.cmd[1]),
      vim.log.levels.WARN
    )
  end
  return false
end

--- Serves a buffer, if it is one of flowgate's files. Neovim 0.11 and later do so by themselves.
function M.attach(buffer)
  local path = vim.api.nvim_buf_get_name(buffer)
  if vim.bo[buffer].buftype ~= '' or not M.is_ours(path, buffer) or not installed() then
    return
  end
  local config = { name = 'flowgate', cmd = options.cmd, root_dir = M.root(path) }
  if vim.lsp.start then
    vim.lsp.start(config, { bufnr = buffer })
    return
  end
  local running = clients[config.root_dir]
  if not running or vim.lsp.client_is_stopped(running) then
    running = vim.lsp.start_client(config)
    clients[config.root_dir] = running
  end
  if running then
    vim.lsp.buf_attach_client(buffer, running)
  end
end

--- Starts serving; called by the plugin.
function M.enable()
  local group = vim.api.nvim_create_augroup('flowgate', {})
  local pattern = { '*.yaml', '*.yml', '*.prompty', '*.py', '*.jinja', '*.jinja2', '*.j2', '*requirements*.txt' }
  if native then
    -- Without a type of file, Neovim asks no server.
    vim.filetype.add({ extension = { prompty = 'prompty' } })
    for _, extension in ipairs({ 'jinja', 'jinja2', 'j2' }) do
      if not vim.filetype.match({ filename = 'a.' .. extension }) then
        vim.filetype.add({ extension = { [extension] = 'jinja' } })
      end
    end
    vim.api.nvim_create_autocmd({ 'BufReadPost', 'BufNewFile' }, {
      group = group,
      pattern = pattern,
      callback = function(event)
        if M.is_ours(event.file, event.buf) then
          installed()
        end
      end,
    })
    vim.lsp.enable('flowgate')
    return
  end
  vim.api.nvim_create_autocmd({ 'BufReadPost', 'BufNewFile' }, {
    group = group,
    pattern = pattern,
    callback = function(event)
      M.attach(event.buf)
    end,
  })
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) then
      M.attach(buffer)
    end
  end
end

--- Ends the server and starts it again for the buffers that it served.
function M.restart()
  local stopped = M.clients()
  for _, client in ipairs(stopped) do
    if native then
      client:stop()
    else
      vim.lsp.stop_client(client.id)
    end
  end
  vim.wait(5000, function()
    return #M.clients() == 0
  end, 20)
  clients = {}
  told = false
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) and M.is_ours(vim.api.nvim_buf_get_name(buffer), buffer) and installed() then
      if native then
        vim.api.nvim_exec_autocmds('FileType', { group = 'nvim.lsp.enable', buffer = buffer })
      else
        M.attach(buffer)
      end
    end
  end
end

--- Applies every safe fix of the current buffer.
function M.fix_all()
  local buffer = vim.api.nvim_get_current_buf()
  local last = vim.api.nvim_buf_line_count(buffer)
  local params = {
    textDocument = vim.lsp.util.make_text_document_params(buffer),
    range = { start = { line = 0, character = 0 }, ['end'] = { line = last, character = 0 } },
    context = { diagnostics = {}, only = { 'source.fixAll.flowgate' } },
  }
  local client = M.clients(buffer)[1]
  if not client then
    vim.notify('flowgate: this buffer is not served', vim.log.levels.WARN)
    return
  end
  vim.lsp.buf_request_all(buffer, 'textDocument/codeAction', params, function(answers)
    local actions = answers[client.id] and answers[client.id].result or {}
    for _, action in ipairs(actions) do
      if action.edit then
        vim.lsp.util.apply_workspace_edit(action.edit, client.offset_encoding or 'utf-16')
      end
    end
    if #actions == 0 then
      vim.notify('flowgate: nothing here is safe to fix without a look', vim.log.levels.INFO)
    end
  end)
end

return M
